/** wx.request as a promise, and its answers as values or errors with a `code`. */

function createHttp() {
  /** Any status resolves, as WeChat has it; only a request without an answer rejects. */
  function send(options) {
    return new Promise((resolve, reject) => {
      wx.request(
        Object.assign({ timeout: 10000 }, options, {
          success: resolve,
          fail: ({ errMsg, errno }) => reject(Object.assign(new Error(errMsg), { code: 'network', errno })),
        }),
      );
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
function failure({ statusCode, data }) {
  const body = data && typeof data === 'object' ? data : {};
  const inner = body.error && typeof body.error === 'object' ? body.error : undefined;
  const code = inner ? inner.code : body.error || 'unexpected';
  const message = (inner ? inner.message : body.error_description) || `HTTP ${statusCode}`;
  return Object.assign(new Error(message), {
    code,
    reason: body.error_reason,
    status: statusCode,
    captcha: body.captcha,
  });
}

module.exports = { createHttp, failure };
