/**
 * Imported before oidc-provider, which warns at import unless `process.release.lts` names a long-term release. Node 26.10 was built
 * before its line became one and states none; it has everything the engine asks for, and the tests run on it. The project pins
 * both, so the warning would tell an operator of nothing that he could change.
 */
if (!process.release.lts) Object.defineProperty(process.release, 'lts', { value: 'none yet', configurable: true });
