/**
 * A fetch that reaches this very process when it is asked for PUBLIC_URL: behind a proxy or NAT the public address is often
 * not reachable from inside. Anything else is refused, so nobody can be made to fetch elsewhere through it.
 */
export function selfFetch({ publicUrl, port }: { publicUrl: string; port: () => number }): typeof fetch {
  return (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (url.origin !== publicUrl) throw new Error(`refused to fetch ${url.origin}`);
    return fetch(`http://localhost:${port()}${url.pathname}${url.search}`, init);
  };
}
