/**
 * Browsers and apps that a person signed in with before. A phone number that was quiet for long opens the account at once only
 * from one of them (identity rule 6). Owns the table known_devices; a device is known by a hash of what it carries.
 */
import type { Knex } from 'knex';
import type { Seal } from '../seal.ts';

export function deviceHash(seal: Seal, device: string): string {
  return seal.hash(device, 'known device');
}

/** Of this subject or of one it absorbed. */
export async function isKnownDevice(db: Knex, sub: string, device_hash: string): Promise<boolean> {
  const row = await db('subject_members as m')
    .join('known_devices as d', 'd.subject_id', 'm.member_id')
    .where({ 'm.subject_id': sub, device_hash })
    .first('device_hash');
  return row !== undefined;
}

/** More than anybody carries. A program that is a new device at each sign-in drives out its own, and fills no table. */
const mostDevices = 50;

/** Written at most once a day for a device that is known. */
export async function rememberDevice(db: Knex, subject_id: string, device_hash: string): Promise<void> {
  const { rows } = await db.raw(
    `insert into known_devices (subject_id, device_hash) values (?, ?)
     on conflict (subject_id, device_hash) do update set last_seen_at = now()
      where known_devices.last_seen_at < now() - interval '1 day'
     returning device_hash`,
    [subject_id, device_hash],
  );
  if (!rows.length) return;
  await db.raw(
    `delete from known_devices where subject_id = :subject_id and device_hash in (
       select device_hash from known_devices where subject_id = :subject_id
        order by last_seen_at desc, device_hash offset :mostDevices)`,
    { subject_id, mostDevices },
  );
}

/**
 * Subjects that signed in from a device of this one: worth a look, and no more than that (a family shares a computer). Of a "device"
 * that an app gives everybody some are looked at.
 */
export async function subjectsOnSameDevices(
  db: Knex,
  subs: string[],
): Promise<{ sub: string; devices: number; last_seen_at: Date }[]> {
  const { rows } = await db.raw(
    `select c.subject_id as sub, count(distinct other.device_hash)::int as devices, max(other.last_seen_at) as last_seen_at
       from known_devices own
      cross join lateral (
         select subject_id, device_hash, last_seen_at from known_devices
          where device_hash = own.device_hash limit 200) other
       join current_subjects c on c.requested_id = other.subject_id and c.status = 'active'
      where own.subject_id = any (:subs::uuid[]) and not (c.subject_id = any (:subs::uuid[]))
      group by 1 order by devices desc, last_seen_at desc limit 20`,
    { subs },
  );
  return rows;
}
