/** The SDK’s types in use: `tsc` reads this, nothing runs it. */
import { createHeyi, type Heyi, type HeyiError, type SignedIn } from '../../sdk/miniprogram/lib/index.js';

const heyi: Heyi = createHeyi({
  issuer: 'https://id.example.com',
  clientId: 'my-miniprogram',
  writeKey: 'my-write-key',
  apis: ['https://api.example.com'],
  query: ['store'],
});

/** By a text message: `to` is E.164. */
export async function signInBySms(to: string, askForCode: () => Promise<string>): Promise<SignedIn | undefined> {
  const { otp_id } = await heyi.sendCode({ to });
  try {
    return await heyi.signInByCode({ otpId: otp_id, code: await askForCode(), consents: ['privacy@1', 'profiling@1'] });
  } catch (error) {
    const { code, reason } = error as HeyiError;
    if (code === 'invalid_grant' && reason === 'code_wrong') return undefined;
    throw error;
  }
}

export const app = heyi.app({
  greeting: '你好',
  onLaunch() {
    console.log(this.greeting);
  },
});
export const page = heyi.page(
  {
    data: { price: 398 },
    onLoad({ id }: { id: string }) {
      this.setData({ id });
      heyi.track('product_viewed', { product_id: id, price: this.data.price });
    },
    onShareAppMessage: () => ({ title: '紫砂壶' }),
  },
  { title: '紫砂壶' },
);

// @ts-expect-error the address is needed
createHeyi({ clientId: 'my-miniprogram' });
// @ts-expect-error a decision is one of two
heyi.answerSignIn('scene', 'perhaps').catch(() => {});

export const stop = heyi.onChange((person) => console.log(person ? person.sub : 'nobody'));
