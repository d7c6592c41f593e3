import { z } from 'zod';

/**
 * A base URL. Gives it without trailing slashes, so that paths can be appended. The parser passes
 * over an empty query or fragment, spaces and backslashes, after which a path would be another one.
 */
export const httpUrl = z.string().transform(toHttpUrl);

const PLAIN = /^https?:\/\/[^\s/\\?#@]+(?:\/[^\s\\?#]*)?$/i;

function toHttpUrl(text: string, context: z.core.$RefinementCtx): string {
  if (!PLAIN.test(text) || !URL.canParse(text)) {
    context.issues.push({
      code: 'custom',
      input: text,
      message: 'must be an http(s) URL without user, query and fragment, such as https://auth.example.com',
    });
    return z.NEVER;
  }
  return text.replace(/\/+$/, '');
}
