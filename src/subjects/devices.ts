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

/** Written at most once a day for a device that is known. */
export async function rememberDevice(db: Knex, subject_id: string, device_hash: string): Promise<void> {
  await db.raw(
    `insert into known_devices (subject_id, device_hash) values (?, ?)
     on conflict (subject_id, device_hash) do update set last_seen_at = now()
      where known_devices.last_seen_at < now() - interval '1 day'`,
    [subject_id, device_hash],
  );
}

/** The device changed hands with the number: it is the former owner's no more. */
export async function forgetDevice(db: Knex, sub: string, device_hash: string): Promise<void> {
  await db('known_devices').where({ subject_id: sub, device_hash }).delete();
}

/** Subjects that signed in from a device of this one: worth a look, and no more than that (a family shares a computer). */
export async function subjectsOnSameDevices(
  db: Knex,
  subs: string[],
): Promise<{ sub: string; devices: number; last_seen_at: Date }[]> {
  const { rows } = await db.raw(
    `select c.subject_id as sub, count(distinct other.device_hash)::int as devices, max(other.last_seen_at) as last_seen_at
       from known_devices own
       join known_devices other on other.device_hash = own.device_hash
       join current_subjects c on c.requested_id = other.subject_id and c.status = 'active'
      where own.subject_id = any (:subs::uuid[]) and not (c.subject_id = any (:subs::uuid[]))
      group by 1 order by devices desc, last_seen_at desc limit 20`,
    { subs },
  );
  return rows;
}
