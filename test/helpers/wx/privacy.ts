/**
 * WeChat's privacy authorisation: whether this person has agreed to the mini-program's statement, and who asks them. Without a
 * listener WeChat shows its own dialog, which the test answers through the phone.
 */
import { asyncCall, type Callbacks, type Process, WxError } from './process.ts';

/** Belongs to the person and the mini-program, and outlives the process. */
export type PrivacyState = {
  /** Whether the statement is published and WeChat insists on it. */
  isRequired: boolean;
  hasAgreed: boolean;
  /** What the statement declares; calls outside it fail whatever the person says. Undefined: everything. */
  declared: string[] | undefined;
  /** What the person answers in WeChat's own dialog. */
  answer: 'agree' | 'disagree';
};

type Resolve = (answer: { event: 'exposureAuthorization' | 'agree' | 'disagree'; buttonId?: string }) => void;
type Listener = (resolve: Resolve, info: { referrer: string }) => void;

export function createPrivacy(process: Process, state: PrivacyState) {
  let listener: Listener | undefined;
  /** Several calls that need it share one question. */
  let asking: Promise<boolean> | undefined;

  const isNeeded = () => state.isRequired && !state.hasAgreed;

  function ask(referrer: string): Promise<boolean> {
    asking ??= new Promise<boolean>((resolve) => {
      if (!listener) return resolve(state.answer === 'agree');
      const shown = listener;
      process.deliver(() =>
        shown((answer) => {
          if (answer?.event === 'agree' && !answer.buttonId)
            throw new Error('onNeedPrivacyAuthorization resolve: buttonId is required when event is agree');
          if (answer?.event === 'agree') resolve(true);
          if (answer?.event === 'disagree') resolve(false);
        }, process.own({ referrer })),
      );
    }).then((agreed) => {
      asking = undefined;
      if (agreed) state.hasAgreed = true;
      return agreed;
    });
    return asking;
  }

  return {
    /** What a call that touches personal data does first; throws as such a call fails. */
    async gate(api: string): Promise<void> {
      if (!state.isRequired) return;
      if (state.declared && !state.declared.includes(api))
        throw new WxError('api scope is not declared in the privacy agreement', 112);
      if (isNeeded() && !(await ask(api))) throw new WxError('privacy permission is not authorized', 104);
    },
    /** The person taps a button of open-type agreePrivacyAuthorization. */
    agree() {
      state.hasAgreed = true;
    },
    calls: {
      getPrivacySetting: (options?: Callbacks<{ needAuthorization: boolean; privacyContractName: string }>) =>
        asyncCall(process, 'getPrivacySetting', options, () => ({
          needAuthorization: isNeeded(),
          privacyContractName: '《小程序用户隐私保护指引》',
        })),
      openPrivacyContract: (options?: Callbacks) => asyncCall(process, 'openPrivacyContract', options, () => ({})),
      onNeedPrivacyAuthorization(given: Listener) {
        listener = given;
      },
      requirePrivacyAuthorize: (options: Callbacks) =>
        asyncCall(
          process,
          'requirePrivacyAuthorize',
          options,
          async () => {
            if (isNeeded() && !(await ask('requirePrivacyAuthorize')))
              throw new WxError('privacy permission is not authorized', 104);
            return {};
          },
          { hasPromise: false },
        ),
    },
  };
}
