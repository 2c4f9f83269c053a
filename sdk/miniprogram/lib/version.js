/** As in package.json, which a mini-program cannot read. */
module.exports = { version: '0.1.0' };
