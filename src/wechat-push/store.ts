/** Tables wechat_pushes and wechat_followers. */
import type { Knex } from 'knex';

export type PushKey = { appid: string; message_hash: string; signature: string };

/**
 * `repeated`: this message was done before. `replayed`: its signature came before with another message, which WeChat never does. Two
 * attempts at once wait for each other here; the second is `repeated` when the first commits, and `new` when it does not.
 */
export async function notePush(trx: Knex.Transaction, push: PushKey): Promise<'new' | 'repeated' | 'replayed'> {
  // A few that are over go with each new one: no scheduler, no pile.
  const { rows } = await trx.raw(
    `with gone as (
       delete from wechat_pushes where (appid, message_hash) in (
         select appid, message_hash from wechat_pushes
          where received_at < now() - interval '1 day' limit 20 for update skip locked)
     )
     insert into wechat_pushes (appid, message_hash, signature) values (:appid, :message_hash, :signature)
     on conflict do nothing returning message_hash`,
    push,
  );
  if (rows.length) return 'new';
  const { appid, signature } = push;
  const before = await trx('wechat_pushes').select('message_hash').where({ appid, signature }).first();
  return !before || before.message_hash === push.message_hash ? 'repeated' : 'replayed';
}

export type Following = { appid: string; openid: string; is_following: boolean; at: Date };

/** What happened later counts, in whichever order the pushes arrive. */
export async function setFollowing(trx: Knex.Transaction, following: Following): Promise<void> {
  await trx.raw(
    `insert into wechat_followers (appid, openid, is_following, changed_at)
     values (:appid, :openid, :is_following, :at)
     on conflict (appid, openid) do update set is_following = excluded.is_following, changed_at = excluded.changed_at
     where wechat_followers.changed_at <= excluded.changed_at`,
    following,
  );
}

export async function forgetFollower(
  trx: Knex.Transaction,
  follower: { appid: string; openid: string },
): Promise<void> {
  await trx('wechat_followers').where(follower).delete();
}
