/**
 * What we add to the context of an event, whatever tracker sent it, from what it says itself and from its request:
 *
 *   bot             true      a known crawler, by its user agent; or a scene in which nobody looks
 *   channel_group   text      what brought the visit: labels of a campaign, else the scene, else who linked here. Absent: the event does not say
 *   consent_source  event|key who says under which purposes it was collected. Absent: nobody, and it is good for the service alone
 *
 * These names are ours: what a sender puts there is dropped, and so is an address of the network (decision 0026).
 */
import { isbot } from 'isbot';
import { groupOfCampaign, groupOfClick, groupOfHost, type OriginGroup } from './origins.ts';
import { groupOfScene, isRobotScene, type SceneGroup, sceneOf } from './scenes.ts';
import { isRecord } from './storable.ts';

export type ChannelGroup = OriginGroup | SceneGroup;

/** Of the request that brought the event, as far as it is the visitor's own. */
export type Surroundings = {
  userAgent: string;
  /** Ours: whoever comes back from signing in was not sent here by us. */
  ownHost: string;
};

type Fields = Record<string, unknown>;

/** What a sender says under these names is no word of ours. */
export const ours = ['bot', 'channel_group', 'consent_source', 'consents_withdrawn', 'ip'];

export function enrichment(
  context: Fields,
  { userAgent, ownHost }: Surroundings,
): { bot?: true; channel_group?: ChannelGroup } {
  const scene = sceneOf(context.scene);
  const said = typeof context.userAgent === 'string' && context.userAgent;
  // A program that sends on what others did has a name too: of a request only that of a browser says who looked.
  const bot =
    isBot(said || (userAgent.startsWith('Mozilla/') ? userAgent : '')) || (scene !== undefined && isRobotScene(scene));
  const channel_group = channelGroup(context, scene, ownHost);
  return { ...(bot && { bot }), ...(channel_group && { channel_group }) };
}

const longestAgent = 500;
const mostAgents = 1_000;
const developerTools = /\bwechatdevtools\//;
const agents = new Map<string, boolean>();

function isBot(userAgent: string): boolean {
  if (!userAgent) return false;
  const agent = userAgent.length > longestAgent ? userAgent.slice(0, longestAgent) : userAgent;
  const known = agents.get(agent);
  if (known !== undefined) return known;
  if (agents.size >= mostAgents) agents.clear();
  // Whoever builds a mini-program sees its events in the developer tools, whose name the list knows.
  const found = isbot(agent) && !developerTools.test(agent);
  agents.set(agent, found);
  return found;
}

function channelGroup(context: Fields, scene: number | undefined, ownHost: string): ChannelGroup | undefined {
  const { source, medium } = isRecord(context.campaign) ? context.campaign : {};
  if (isLabel(source) || isLabel(medium))
    return groupOfCampaign(isLabel(source) ? source : '', isLabel(medium) ? medium : '');
  if (scene !== undefined) return groupOfScene(scene);
  const page = isRecord(context.page) ? context.page : {};
  if (typeof page.url !== 'string') return undefined;
  const here = hostOf(page.url);
  if (here === undefined) return undefined;
  const clicked = page.url.includes('?') ? groupOfClick(page.url) : undefined;
  if (clicked) return clicked;
  if (!isLabel(page.referrer)) return 'direct';
  const from = hostOf(page.referrer);
  const isInside = from === undefined || from === here || from === ownHost || siteOf(from) === siteOf(here);
  return isInside ? undefined : groupOfHost(from);
}

const isLabel = (value: unknown): value is string => typeof value === 'string' && value.trim() !== '';

const host = /^https?:\/\/([^/?#@:]{1,253})(?::\d+)?(?:[/?#]|$)/i;

function hostOf(address: string): string | undefined {
  return host.exec(address)?.[1]?.toLowerCase();
}

/** `shop.example.com.cn` and `www.example.com.cn` are one website. */
function siteOf(name: string): string {
  const labels = name.split('.');
  const ofCountry = /^(?:com|net|org|gov|edu|ac|co)$/.test(labels.at(-2) ?? '') && labels.at(-1)?.length === 2;
  return labels.slice(ofCountry ? -3 : -2).join('.');
}
