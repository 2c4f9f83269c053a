// heyi.js — require it from your pages: const heyi = require('../../heyi.js')
const issuer = 'https://id.example.com'; // add it to the request domains of the mini-program
const client_id = 'demo-miniprogram';

function post(path, data) {
  return new Promise((resolve, reject) => {
    wx.request({
      url: issuer + path,
      method: 'POST',
      header: { 'content-type': 'application/x-www-form-urlencoded' },
      data,
      success: ({ statusCode, data: answer }) => (statusCode === 200 ? resolve(answer) : reject(answer)),
      fail: reject,
    });
  });
}

function keep(tokens) {
  wx.setStorageSync('heyi', { ...tokens, expires_at: Date.now() + tokens.expires_in * 1000 });
  return tokens;
}

// phoneCode: e.detail.code of <button open-type="getPhoneNumber">; without it the person is known by WeChat alone
function signIn({ phoneCode, anonymousId } = {}) {
  return new Promise((success, fail) => wx.login({ success, fail }))
    .then(({ code }) =>
      post('/token', {
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        client_id,
        subject_token: code,
        subject_token_type: 'urn:heyi:token-type:wechat-login-code',
        scope: 'openid offline_access',
        ...(phoneCode && { phone_code: phoneCode }),
        ...(anonymousId && { anonymous_id: anonymousId }),
      }),
    )
    .then(keep);
}

let refreshing; // one at a time: a second refresh with the same token would be a replay
function accessToken() {
  const kept = wx.getStorageSync('heyi');
  if (!kept) return signIn().then((tokens) => tokens.access_token);
  if (kept.expires_at > Date.now() + 30000) return Promise.resolve(kept.access_token);
  refreshing ??= post('/token', { grant_type: 'refresh_token', client_id, refresh_token: kept.refresh_token })
    .then(keep)
    .finally(() => {
      refreshing = undefined;
    });
  return refreshing.then((tokens) => tokens.access_token);
}

function track(event, properties) {
  return accessToken().then(
    (token) =>
      new Promise((resolve, reject) =>
        wx.request({
          url: `${issuer}/v1/track`,
          method: 'POST',
          header: { Authorization: `Bearer ${token}` },
          data: {
            event,
            properties,
            timestamp: new Date().toISOString(),
            messageId: `mp-${Date.now()}-${Math.random()}`,
          },
          success: resolve,
          fail: reject,
        }),
      ),
  );
}

module.exports = { signIn, accessToken, track };
