/**
 * Whether a person lets themselves be addressed by what is known of them (PIPL article 24). On until somebody switches it off; append-only, the
 * newest word counts. Segments hold nobody who switched it off.
 */
import type { Knex } from 'knex';

export type Personalisation = { is_on: boolean; at: Date | null };

export async function personalisationOf(db: Knex, sub: string): Promise<Personalisation> {
  const row = await db('current_personalisation').first('is_on', 'at').where({ subject_id: sub });
  return row ?? { is_on: true, at: null };
}

export type PersonalisationChoice = {
  subject_id: string;
  is_on: boolean;
  channel: string;
  /** What proves it later: client, address, request id. */
  evidence: Record<string, unknown>;
};

export async function recordPersonalisation(db: Knex, { evidence, ...choice }: PersonalisationChoice): Promise<void> {
  await db('personalisation_choices').insert({ ...choice, evidence: JSON.stringify(evidence) });
}
