/**
 * What analytics-next, the browser SDK, asks its CDN for. With it `cdnURL` alone points the SDK at us: it names the API host, asks
 * for no other integration, and switches off the SDK's reports about itself.
 */
export function browserSettings(writeKey: string, publicUrl: string): Record<string, unknown> {
  const { host, protocol } = new URL(publicUrl);
  const apiHost = `${host}/v1`;
  return {
    integrations: {
      'Segment.io': {
        apiKey: writeKey,
        apiHost,
        protocol: protocol.slice(0, -1),
        unbundledIntegrations: [],
        addBundledMetadata: false,
      },
    },
    plan: {},
    metrics: { sampleRate: 0, host: apiHost },
    edgeFunction: {},
    analyticsNextEnabled: true,
    middlewareSettings: {},
    enabledMiddleware: {},
    legacyVideoPluginsEnabled: false,
    remotePlugins: [],
  };
}
