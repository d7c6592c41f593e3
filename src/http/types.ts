import type { components } from './schema.gen.ts';

type Schemas = components['schemas'];
export type TokenResponse = Schemas['TokenResponse'];
export type ErrorsBody = Schemas['Errors'];
export type ProblemsBody = Schemas['Problems'];
export type ErrorBodyCode = Schemas['ErrorList'][number]['code'];
export type JobTokenInput = Schemas['JobToken'];
export type Health = Schemas['Health'];
