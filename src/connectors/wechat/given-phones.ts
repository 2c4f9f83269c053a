/**
 * Which phone numbers we have from WeChat alone. A person who takes that authorisation back in WeChat (RevokeInfo 8) takes with it what
 * came that way, and not a number that they also proved by a code of ours. Owns the table wechat_given_phones.
 */
import type { Knex } from 'knex';
import type { Seal } from '../../seal.ts';

type Services = { db: Knex; seal: Seal };
type Giver = { appid: string; openid: string };

const hashOf = (seal: Seal, phone: string) => seal.hash(phone, 'wechat given phone');

export async function rememberGivenPhone(
  { db, seal }: Services,
  { phone, ...giver }: Giver & { phone: string },
): Promise<void> {
  await db('wechat_given_phones')
    .insert({ ...giver, phone_hash: hashOf(seal, phone) })
    .onConflict(['appid', 'openid', 'phone_hash'])
    .ignore();
}

type Held = { external_id: string; created_at: Date };

/** Of the numbers that a subject holds, those that this person gave us through WeChat alone: none that was there before. */
export async function givenPhones<Phone extends Held>(
  { db, seal }: Services,
  giver: Giver,
  phones: Phone[],
): Promise<Phone[]> {
  const rows = await db('wechat_given_phones').select('phone_hash', 'given_at').where(giver);
  return phones.filter(({ external_id, created_at }) =>
    rows.some((row) => row.phone_hash === hashOf(seal, external_id) && row.given_at <= created_at),
  );
}

export async function forgetGivenPhones({ db }: Services, giver: Giver): Promise<void> {
  await db('wechat_given_phones').where(giver).delete();
}

/** Its person has proven it by themselves. */
export async function isOwnPhone({ db, seal }: Services, phone: string): Promise<void> {
  await db('wechat_given_phones')
    .where({ phone_hash: hashOf(seal, phone) })
    .delete();
}
