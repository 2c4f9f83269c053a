/** wx.request as a promise, and its answers as values or errors with a `code`. */

function createHttp(platform) {
  /** Any status resolves, as WeChat has it; only a request without an answer rejects. */
  function send(options) {
    return platform.call('request', Object.assign({ timeout: 10000 }, options)).catch(({ errMsg, errno }) => {
      throw Object.assign(new Error(errMsg), { code: 'network', errno });
    });
  }

  async function post(url, data, contentType) {
    const answer = await send({ url, method: 'POST', data, header: { 'content-type': contentType } });
    if (answer.statusCode >= 200 && answer.statusCode < 300) return answer.data;
    throw failure(answer);
  }

  return {
    send,
    postForm: (url, data) => post(url, data, 'application/x-www-form-urlencoded'),
    postJson: (url, data) => post(url, data, 'application/json'),
  };
}

/** OAuth endpoints answer { error, error_description }, the others { error: { code, message } }. */
function failure(answer) {
  const body = answer.data && typeof answer.data === 'object' ? answer.data : {};
  const inner = body.error && typeof body.error === 'object' ? body.error : undefined;
  const message = (inner ? inner.message : body.error_description) || `HTTP ${answer.statusCode}`;
  return Object.assign(new Error(message), {
    code: (inner ? inner.code : body.error) || 'unexpected',
    reason: body.error_reason,
    status: answer.statusCode,
    captcha: body.captcha,
    retryAfter: retryAfter(answer),
  });
}

/** Seconds, at most an hour; undefined when the answer does not say. Names of headers come in any case, times as seconds or as a date. */
function retryAfter({ header }) {
  const name = Object.keys(header || {}).find((one) => one.toLowerCase() === 'retry-after');
  if (!name) return undefined;
  const text = String(header[name]).trim();
  const seconds = /^\d+$/.test(text) ? Number(text) : Math.ceil((Date.parse(text) - Date.now()) / 1000);
  return seconds >= 0 ? Math.min(seconds, 3600) : undefined;
}

module.exports = { createHttp, failure, retryAfter };
