import assert from 'node:assert/strict';
import type { Finding } from '../../../src/cli/doctor/finding.ts';
import { checkKeys, type KeyFacts } from '../../../src/cli/doctor/key-checks.ts';
import type { AuthorityListing, KeyListing } from '../../../src/rotation/listing.ts';

const NOW = new Date('2026-11-24T10:00:00Z');
const DAY_MS = 24 * 60 * 60 * 1000;

/** A day before or after now. */
function day(offset: number): string {
  return new Date(NOW.getTime() + offset * DAY_MS).toISOString();
}

function key(more: Partial<KeyListing> & Pick<KeyListing, 'state'>): KeyListing {
  return {
    kid: `kid-${more.state}`,
    thumbprint: 'thumbprint',
    created_at: day(-1),
    activated_at: more.state === 'active' ? day(-1) : null,
    retired_at: null,
    published_until: null,
    revoked_at: null,
    revocation_reason: null,
    certificate: { imported: false, not_after: day(1) },
    next: { what: 'nothing', at: null },
    issued: null,
    ...more,
  };
}

function authority(more: Partial<AuthorityListing>): AuthorityListing {
  return {
    id: 'ca',
    state: 'active',
    created_at: day(-10),
    activated_at: day(-10),
    published_until: null,
    not_after: day(3000),
    ...more,
  };
}

interface Row {
  readonly keys?: readonly KeyListing[];
  readonly authorities?: readonly AuthorityListing[];
  /** Days from now. */
  readonly leaf?: readonly [from: number, until: number];
  readonly rotateEveryDays?: number;
}

function look({ keys, authorities, leaf, rotateEveryDays = 30 }: Row): readonly Finding[] {
  const facts: KeyFacts = {
    listing: { keys: keys ?? [key({ state: 'active' })], authorities: authorities ?? [authority({})] },
    leaf: leaf === undefined ? null : { notBefore: new Date(day(leaf[0])), notAfter: new Date(day(leaf[1])) },
  };
  return checkKeys(facts, { rotateEveryDays, now: NOW });
}

function activeFor(days: number): readonly KeyListing[] {
  return [key({ state: 'active', created_at: day(-900), activated_at: day(-days) })];
}

function pendingFor(days: number): readonly KeyListing[] {
  return [key({ state: 'active' }), key({ state: 'pending', created_at: day(-days) })];
}

function importedUntil(days: number, state: KeyListing['state'] = 'active'): readonly KeyListing[] {
  const imported = key({ state, certificate: { imported: true, not_after: day(days) } });
  return state === 'active' ? [imported] : [key({ state: 'active' }), imported];
}

describe('doctor: the age of keys and certificates', () => {
  const rows: [what: string, Row, name: string, outcome: Finding['outcome'], says: string][] = [
    ['no keys', { keys: [], authorities: [] }, 'active key', 'ok', 'the first start generates them'],
    ['none active', { keys: [key({ state: 'retired' })] }, 'active key', 'failed', 'keys activate'],
    ['active for 45 of 30 days', { keys: activeFor(45) }, 'active key', 'ok', '45 days'],
    ['active for 46 of 30 days', { keys: activeFor(46) }, 'active key', 'warning', 'keys rotate'],
    ['365 days by hand', { keys: activeFor(365), rotateEveryDays: 0 }, 'active key', 'ok', '365 days'],
    ['366 days by hand', { keys: activeFor(366), rotateEveryDays: 0 }, 'active key', 'warning', 'is 0'],
    ['pending for 30 of 30 days', { keys: pendingFor(30) }, 'pending key', 'ok', day(-30)],
    [
      'pending for 31 of 30 days',
      { keys: pendingFor(31) },
      'pending key',
      'warning',
      'keys retire kid-pending',
    ],
    [
      'pending for 31 days by hand',
      { keys: pendingFor(31), rotateEveryDays: 0 },
      'pending key',
      'ok',
      day(-31),
    ],
    ['a leaf at 7/10 of its life', { leaf: [-7, 3] }, 'leaf certificate', 'ok', day(3)],
    [
      'a leaf at 8/10 of its life',
      { leaf: [-8, 2] },
      'leaf certificate',
      'warning',
      'no server has renewed it',
    ],
    ['a leaf that ended', { leaf: [-2, 0] }, 'leaf certificate', 'failed', 'refuse every token'],
    ['a leaf that begins tomorrow', { leaf: [1, 3] }, 'leaf certificate', 'failed', 'clock'],
    ['a CA with 91 days', { authorities: [authority({ not_after: day(91) })] }, 'active CA', 'ok', day(91)],
    [
      'a CA with 89 days',
      { authorities: [authority({ not_after: day(89) })] },
      'active CA',
      'warning',
      'stage-ca',
    ],
    [
      'a CA that ended',
      { authorities: [authority({ not_after: day(0) })] },
      'active CA',
      'failed',
      'stage-ca',
    ],
    [
      'a pending CA',
      { authorities: [authority({ state: 'pending' })] },
      'pending CA',
      'warning',
      'activate-ca',
    ],
    [
      'a pending CA that ended',
      { authorities: [authority({ state: 'pending', not_after: day(-1) })] },
      'pending CA',
      'failed',
      'discard-ca',
    ],
    ['imported, 31 days', { keys: importedUntil(31) }, 'imported certificate', 'ok', day(31)],
    ['imported, 29 days', { keys: importedUntil(29) }, 'imported certificate', 'warning', 'keys rotate'],
    ['imported, ended', { keys: importedUntil(0) }, 'imported certificate', 'failed', 'export-ca'],
    [
      'imported and pending, 29 days',
      { keys: importedUntil(29, 'pending') },
      'imported certificate',
      'warning',
      'kid-pending',
    ],
  ];
  for (const [what, row, name, outcome, says] of rows) {
    it(`${what}: ${outcome}`, () => {
      const found = look(row).filter((one) => one.name === name);
      assert.equal(found.length, 1);
      assert.equal(found[0]?.outcome, outcome, found[0]?.message);
      assert.ok(found[0].message.includes(says), found[0].message);
    });
  }

  const silent: [what: string, Row, name: string][] = [
    ['the leaf of an imported key', { keys: importedUntil(99), leaf: [-9, 1] }, 'leaf certificate'],
    ['a retired CA', { authorities: [authority({ state: 'retired', not_after: day(-1) })] }, 'retired CA'],
    ['an imported key that is retired', { keys: importedUntil(-1, 'retired') }, 'imported certificate'],
  ];
  for (const [what, row, name] of silent) {
    it(`has nothing to say of ${what}`, () => {
      assert.deepEqual(
        look(row).filter((one) => one.name === name),
        [],
      );
    });
  }
});
