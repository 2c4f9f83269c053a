/**
 * A fetch that reaches this very process when it is asked for PUBLIC_URL: behind a proxy or NAT the public address is often
 * not reachable from inside. Anything else is refused, so nobody can be made to fetch elsewhere through it.
 */
export function selfFetch({
  publicUrl,
  host,
  port,
}: {
  publicUrl: string;
  host: string;
  port: () => number;
}): typeof fetch {
  const everywhere = host === '::' || host === '0.0.0.0';
  const name = everywhere ? 'localhost' : host.includes(':') ? `[${host}]` : host;
  return (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (url.origin !== publicUrl) throw new Error(`refused to fetch ${url.origin}`);
    return fetch(`http://${name}:${port()}${url.pathname}${url.search}`, init);
  };
}
