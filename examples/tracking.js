import { createHeyi } from '@heyi/web';

const heyi = createHeyi({ issuer: 'https://id.example.com', writeKey: 'demo-client-key' });
// What your banner was answered. Before it, nothing is stored and nothing is sent.
heyi.setConsent({ profiling: true, marketing: false });
heyi.track('product_viewed', { product_id: 'P-1001', price: '5680.00' });
