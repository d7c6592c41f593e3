import type { Server } from 'node:http';
import request from 'supertest';

/** The samples of a scrape in Prometheus' text format: `name{label="value",…}` → value. */
export type Samples = ReadonlyMap<string, number>;

export function parseMetrics(text: string): Samples {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const end = line.lastIndexOf(' ');
      return [line.slice(0, end), Number(line.slice(end + 1))];
    }),
  );
}

export async function readMetrics(admin: Server): Promise<Samples> {
  return parseMetrics((await request(admin).get('/metrics').expect(200)).text);
}

/** The samples of one metric. */
export function samplesOf(samples: Samples, name: string): Samples {
  return new Map([...samples].filter(([sample]) => sample === name || sample.startsWith(`${name}{`)));
}
