/** Identities and proofs of made-up people, each new. */
import type { Identity, Proof } from '../../src/connectors/contract.ts';

let serial = 0;
const next = () => String(++serial).padStart(8, '0');

export const phone = (number = `+86138${next()}`): Identity => ({ kind: 'phone', issuer: '', external_id: number });
export const email = (address = `p${next()}@example.com`): Identity => ({
  kind: 'email',
  issuer: '',
  external_id: address,
});
export const openid = (id = `o${next()}`, appid = 'wx1'): Identity => ({
  kind: 'wechat_openid',
  issuer: appid,
  external_id: id,
});
export const unionid = (id = `u${next()}`, platform = 'main'): Identity => ({
  kind: 'wechat_unionid',
  issuer: platform,
  external_id: id,
});
export const proof = (...identities: Identity[]): Proof => ({ connector: 'test', identities });
