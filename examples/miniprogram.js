// app.js — after installing the package and 工具 → 构建 npm in WeChat's tools
const { createHeyi } = require('@heyi/miniprogram');

const heyi = createHeyi({
  issuer: 'https://id.example.com', // add it to the request domains of the mini-program
  clientId: 'demo-miniprogram',
  writeKey: 'demo-client-key',
});

App(heyi.app({ heyi })); // launches and returns are recorded; Page(heyi.page({ … })) adds views and shares
