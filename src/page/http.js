// Requests to the API. A failure has a code: an HTTP status, 0 for no answer, or 'json' for an answer that is not JSON.
import { hasText, t } from './texts.js';

export class Refusal extends Error {
  constructor(code) {
    super(`no answer that can be used: ${code}`);
    this.code = code;
  }
}

export async function getJson(url) {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), 10_000);
  try {
    const answer = await fetch(url, { cache: 'no-store', signal: controller.signal });
    if (!answer.ok) throw new Refusal(answer.status);
    return JSON.parse(await answer.text());
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal(error instanceof SyntaxError ? 'json' : 0);
  } finally {
    clearTimeout(timer);
  }
}

// What a failure means and what to do.
export const why = (code) => (hasText(`why_${code}`) ? t(`why_${code}`) : t('why_other', { code: String(code) }));
