/**
 * One record as the vendor's trackers write it → events of our tracking API, which the normaliser then judges like any other's.
 *
 *   track, track_signup, track_id_bind/_unbind            a track event under the record's name
 *   profile_set, profile_unset                            identify, an unset trait being null
 *   profile_set_once, _increment, _append, _delete        a track event of that name: a computed trait can be made of them, but they
 *                                                         are no traits themselves, and nobody is deleted by a tracker
 *   track_signup, track_id_bind from a server             an identify besides, which binds the visitor to the customer
 *   item_set, item_delete, anything else                  refused: they are about no person
 */
import { createHash } from 'node:crypto';
import type { Speaker } from '../../speaker.ts';
import { exceededBound, isRecord } from '../../storable.ts';
import { sortProperties, traitsOf } from './presets.ts';
import { whoOf } from './who.ts';

type Fields = Record<string, unknown>;

export function eventsOf(record: unknown, speaker: Speaker): unknown[] {
  // The normaliser says why: so deep or large it must not be walked again.
  if (!isRecord(record) || exceededBound(record)) return [record];
  const given = isRecord(record.properties) ? record.properties : {};
  const { externalIds, ...who } = whoOf(record, speaker.kind);
  const lib = libraryOf(record, given);
  const messageId = messageIdOf(record);
  const common = { ...who, messageId, timestamp: record.time, sentAt: record._flush_time };
  const about = { library: lib.library, channel: channelOf(lib.name, speaker), externalIds };
  const track = (event: unknown, { properties, context }: ReturnType<typeof sortProperties>) => ({
    ...common,
    type: 'track',
    event,
    properties,
    context: { ...context, ...about },
  });
  const identify = (traits: Fields, id = messageId) => ({
    ...common,
    messageId: id,
    type: 'identify',
    traits,
    context: about,
  });
  switch (record.type) {
    case 'track':
    case 'track_id_unbind':
      return [track(record.event, sortProperties(record.event, given))];
    case 'track_signup':
    case 'track_id_bind': {
      const binding = speaker.kind === 'server' ? [identify({}, `${messageId}-bind`)] : [];
      return [...binding, track(record.event, sortProperties(record.event, given))];
    }
    case 'profile_set':
      return [identify(traitsOf(given))];
    case 'profile_unset':
      return [identify(traitsOf(Object.fromEntries(Object.keys(given).map((name) => [name, null]))))];
    case 'profile_set_once':
    case 'profile_increment':
    case 'profile_append':
    case 'profile_delete':
      return [track(record.type, { properties: traitsOf(given), context: {} })];
    default:
      // Wrapped, so that a record is never taken for an event of ours.
      return [{ record }];
  }
}

/**
 * The trackers have no message id. What they send again is the same but for the time of sending and, in older ones, `identities`, which
 * events in the queue share with the tracker and which a sign-in changes in them too. So the rest is the id; two events of one
 * millisecond differ by `_track_id` or by what they say.
 */
function messageIdOf({ _flush_time, identities, ...record }: Fields): string {
  return `sa-${createHash('sha256').update(JSON.stringify(record)).digest('base64url').slice(0, 24)}`;
}

const packages: Record<string, string> = {
  js: 'sa-sdk-javascript',
  MiniProgram: 'sa-sdk-miniprogram',
  Node: 'sa-sdk-node',
};

function libraryOf({ lib }: Fields, properties: Fields) {
  const said = isRecord(lib) ? lib : properties;
  const name = typeof said.$lib === 'string' ? said.$lib : '';
  return {
    name,
    library: { name: Object.hasOwn(packages, name) ? packages[name] : name, version: said.$lib_version },
  };
}

/** A page may be of a website, or shown in an official account: there the key knows better. */
function channelOf(lib: string, speaker: Speaker): string | undefined {
  if (/mini/i.test(lib)) return 'miniprogram';
  if (lib === 'iOS' || lib === 'Android') return 'app';
  return lib === 'js' && speaker.channel === 'server' ? 'website' : undefined;
}
