import { z } from 'zod';

/**
 * A number of a file, or of an environment variable, which is text. Nothing is not 0: who writes a
 * name without a value has forgotten it.
 */
export const number = z
  .union([z.number(), z.string().regex(/^-?\d+(?:\.\d+)?$/, 'must be a number')], 'must be a number')
  .transform(Number);
