import { AnalyticsBrowser } from '@segment/analytics-next';

const analytics = AnalyticsBrowser.load({ writeKey: 'demo-client-key', cdnURL: 'https://id.example.com' });
analytics.page();
analytics.track('product_viewed', { product_id: 'P-1001', price: '5680.00' });
