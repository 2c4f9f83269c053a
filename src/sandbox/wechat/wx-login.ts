/** The script for a QR code inside one's own page: makes the frame that the real one makes, with the sandbox in it. */

/** The address that WeChat's script builds: no response_type, and every option as the page gave it. */
export function wxLoginScript(qrconnect: string): string {
  return `'use strict';
window.WxLogin = function WxLogin(options) {
  var given = function (name, value) { return '&' + name + '=' + (value === undefined ? '' : value); };
  var frame = document.createElement('iframe');
  frame.src = ${JSON.stringify(qrconnect)} + '?appid=' + options.appid + given('scope', options.scope) +
    given('redirect_uri', options.redirect_uri) + given('state', options.state) + '&login_type=jssdk' +
    given('self_redirect', options.self_redirect || false) + given('style', options.style) + given('href', options.href) +
    given('stylelite', options.stylelite) + given('fast_login', options.fast_login) + given('color_scheme', options.color_scheme) +
    (options.lang === 'en' ? '&lang=en' : '') + '#wechat_redirect';
  frame.title = options.lang === 'en' ? 'WeChat sign-in' : '微信登录';
  frame.width = '300px';
  frame.height = '400px';
  frame.setAttribute('sandbox', 'allow-scripts allow-same-origin allow-forms allow-top-navigation');
  if (options.onReady) frame.onload = function () { options.onReady(true); };
  var place = document.getElementById(options.id);
  place.replaceChildren(frame);
};
`;
}
