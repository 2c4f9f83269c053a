/**
 * Imported before oidc-provider, which warns at import unless `process.release.lts` names a long-term line. Node 26 is one (Lithium),
 * but the 26.10 that the project brings was built before it was declared. The warning would tell an operator of nothing he could
 * change, so the name is supplied here; another line than 26 still warns.
 */
if (!process.release.lts && process.versions.node.startsWith('26.')) {
  Object.defineProperty(process.release, 'lts', { value: 'Lithium', configurable: true });
}
