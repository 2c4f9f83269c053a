/** The OpenAPI 3.1 document of a list of routes: generated from the objects that are mounted. */
import { z } from 'zod';
import {
  type CreateDocumentOptions,
  createDocument,
  type ZodOpenApiOperationObject,
  type ZodOpenApiPathsObject,
} from 'zod-openapi';
import { type ErrorCode, fail } from '../errors.ts';
import { errorsOf, type Route } from './routes.ts';

export const errorBody = z
  .object({
    error: z.object({
      code: z.string().meta({ description: 'One of a closed list; never renamed.' }),
      message: z.string().meta({ description: 'A sentence for developers.' }),
      request_id: z.uuid(),
      fields: z.record(z.string(), z.string()).optional().meta({ description: 'What is wrong with each field.' }),
    }),
  })
  .meta({ id: 'Error' });

export type DocumentOptions = {
  title: string;
  version: string;
  description: string;
  /** Base of the paths, relative to the origin: the document is true for every PUBLIC_URL. */
  prefix: string;
  /** Scope to what it opens. */
  scopes: Record<string, string>;
};

export function createOpenApi<Services>(routes: Route<Services>[], options: DocumentOptions) {
  const paths: ZodOpenApiPathsObject = {};
  for (const route of routes) paths[route.path] = { ...paths[route.path], [route.method]: operation(route) };
  const document = {
    openapi: '3.1.0' as const,
    info: { title: options.title, version: options.version, description: options.description },
    servers: [{ url: options.prefix }],
    paths,
    components: {
      securitySchemes: {
        client_credentials: {
          type: 'oauth2' as const,
          flows: { clientCredentials: { tokenUrl: '/token', scopes: options.scopes } },
        },
      },
    },
  };
  return createDocument(document, { override: forReaders });
}

/**
 * What the generator adds beyond what a reader or a client generator can use: the pattern behind a named format, the bounds of
 * every integer. Answers are open: a client must not break when they gain a field.
 */
const forReaders: NonNullable<CreateDocumentOptions['override']> = ({ jsonSchema, io }) => {
  if (jsonSchema.format) delete jsonSchema.pattern;
  if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
  if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
  if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
};

function operation<Services>(route: Route<Services>): ZodOpenApiOperationObject {
  return {
    operationId: route.id,
    tags: [route.tag],
    summary: route.summary,
    ...(route.description && { description: route.description }),
    security: route.scopes.length ? [{ client_credentials: route.scopes }] : [],
    ...((route.params || route.query || route.headers) && {
      requestParams: {
        ...(route.params && { path: route.params }),
        ...(route.query && { query: route.query }),
        ...(route.headers && { header: route.headers }),
      },
    }),
    ...(route.body && { requestBody: { required: true, content: { 'application/json': { schema: route.body } } } }),
    responses: {
      [route.status ?? 200]: { description: route.summary, content: { 'application/json': { schema: route.answer } } },
      ...errorResponses(errorsOf(route)),
    },
  };
}

function errorResponses(codes: ErrorCode[]) {
  const byStatus = Map.groupBy(
    [...new Set(codes)].map((code) => fail(code)),
    (error) => error.status,
  );
  return Object.fromEntries(
    [...byStatus].map(([status, errors]) => [
      String(status),
      {
        description: errors.map(({ code, message }) => `\`${code}\`: ${message}`).join('\n\n'),
        content: { 'application/json': { schema: errorBody } },
      },
    ]),
  );
}
