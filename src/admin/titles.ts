/** What events, traits and segments are called for their reader, the company's own too. A name that nobody gave a title stands for itself. */
import type { Language, Translate } from '../http/i18n.ts';
import { readWorkings } from '../profiles/computed.ts';
import { segmentNames } from '../segments/segment.ts';
import type { AdminDependencies } from './dependencies.ts';

export type Titles = {
  ofEvent(name: string): string;
  ofTrait(name: string): string;
  ofSegment(key: string): string;
};

export async function readTitles(
  { db, readCatalogue }: Pick<AdminDependencies, 'db' | 'readCatalogue'>,
  language: Language,
): Promise<Titles> {
  const [{ definitions }, { traits }, segments] = await Promise.all([
    readCatalogue(),
    readWorkings(db),
    segmentNames(db),
  ]);
  return {
    ofEvent: (name) => titleIn(definitions.get(name)?.title, language) ?? name,
    ofTrait: (name) => traits.get(name)?.title[language] ?? name,
    ofSegment: (key) => segments.get(key) ?? key,
  };
}

/** The company may have given a title in one language alone. */
export function titleIn(title: Record<string, string> | undefined, language: Language): string | undefined {
  return title?.[language] || title?.['zh-CN'] || title?.en || undefined;
}

/** What a property is called; a path that there are no words for stands for itself. */
export function propertyTitle(t: Translate, path: string): string {
  return t(`admin.property.${path}`, { defaultValue: path });
}
