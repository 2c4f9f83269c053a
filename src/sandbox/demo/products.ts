/** What the shop sells. Sentences are in views/demo/locales under `products.<id>`. Prices in yuan. */
export type Product = { product_id: string; category: 'tea' | 'teaware' | 'coffee'; price: number };

export const products: Product[] = [
  { product_id: 'zisha-teapot', category: 'teaware', price: 6800 },
  { product_id: 'celadon-gaiwan', category: 'teaware', price: 268 },
  { product_id: 'longjing', category: 'tea', price: 398 },
  { product_id: 'puer-cake', category: 'tea', price: 580 },
  { product_id: 'pour-over-kettle', category: 'coffee', price: 899 },
  { product_id: 'hand-grinder', category: 'coffee', price: 1280 },
  { product_id: 'yunnan-beans', category: 'coffee', price: 98 },
  { product_id: 'espresso-machine', category: 'coffee', price: 12800 },
];

export const productById = (id: string): Product | undefined => products.find((product) => product.product_id === id);
