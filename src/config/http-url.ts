import { z } from 'zod';

/** A base URL. Gives it without trailing slashes, so that paths can be appended. */
export const httpUrl = z.string().transform(toHttpUrl);

function toHttpUrl(text: string, context: z.core.$RefinementCtx): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain =
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    url.search === '' &&
    url.hash === '' &&
    url.username === '' &&
    url.password === '';
  if (!isPlain) {
    context.issues.push({
      code: 'custom',
      input: text,
      message: 'must be an http(s) URL without user, query and fragment, such as https://auth.example.com',
    });
    return z.NEVER;
  }
  return text.replace(/\/+$/, '');
}
