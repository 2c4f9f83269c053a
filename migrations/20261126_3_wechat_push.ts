import type { Knex } from 'knex';

/** What WeChat tells and asks by itself: message pushes, followers, files that prove a domain. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
    create table wechat_pushes (
      appid text not null,
      message_hash text not null,
      signature text not null,
      received_at timestamptz not null default now(),
      primary key (appid, message_hash),
      unique (appid, signature)
    );
    comment on table wechat_pushes is 'Pushes of the last day, so that one which is sent again (three times, when no answer comes in five seconds) is done once, and a signature is good for one message.';
    create index wechat_pushes_received on wechat_pushes (received_at);

    create table wechat_followers (
      appid text not null,
      openid text not null,
      is_following boolean not null,
      changed_at timestamptz not null,
      primary key (appid, openid)
    );
    comment on table wechat_followers is 'Who follows an official account, as its pushes say: only followers can be written to.';
    comment on column wechat_followers.changed_at is 'When WeChat says that it happened: pushes may arrive in another order.';

    create table wechat_given_phones (
      appid text not null,
      openid text not null,
      phone_hash text not null,
      given_at timestamptz not null default now(),
      primary key (appid, openid, phone_hash)
    );
    comment on table wechat_given_phones is 'Phone numbers that came from WeChat alone, by a keyed hash: what has to be deleted when the person takes that authorisation back. One that the person proves by a code of ours is theirs to keep, and leaves this table.';
    create index wechat_given_phones_phone on wechat_given_phones (phone_hash);

    create table verification_files (
      name text primary key,
      content text not null,
      updated_at timestamptz not null default now()
    );
    comment on table verification_files is 'Small text files at the top of our address by which a platform sees that the domain is ours, such as MP_verify_….txt.';
  `);
}
