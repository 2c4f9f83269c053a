const { createHeyi } = require('@heyi/miniprogram');

const heyi = createHeyi({
  issuer: 'https://id.example.com',
  clientId: 'my-miniprogram',
  writeKey: 'my-write-key',
  apis: ['https://api.example.com'], // where `request` may take the person's token, beside Heyi
});

App(heyi.app({ heyi }));
