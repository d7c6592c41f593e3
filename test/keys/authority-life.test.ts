import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { addImportedAuthority } from '../../src/keys/authority-life.ts';
import type { AuthorityState, KeySet, StoredAuthority } from '../../src/keys/key-set.ts';
import type { Keyring } from '../../src/keys/keyring.ts';
import type { Act } from '../../src/keys/lifecycle.ts';
import type { SigningKey } from '../../src/keys/signing-key.ts';
import { AuthorityOperations } from '../../src/rotation/authorities.ts';
import type { ProbeOutcome } from '../../src/rotation/canary.ts';
import { KeyOperations } from '../../src/rotation/keys.ts';
import {
  type Cell,
  closeKeyrings,
  LEAF_HOURS,
  LONGEST_TOKEN_SECONDS,
  leafOf,
  opensslIsMissing,
  opensslVerify,
  START,
  startedCell,
} from '../support/keys.ts';

const ACTOR = { actor: 'an admin' };
const BUNDLED_MS = (LONGEST_TOKEN_SECONDS + 60) * 1000;

describe('changing the CA', () => {
  let cell: Cell;
  let keyring: Keyring;
  let administration: KeyOperations;
  let authorities: AuthorityOperations;
  /** What the registries say, in their order. */
  let outcomes: ProbeOutcome[];
  let probed: (string | null | undefined)[];

  beforeEach(async () => {
    cell = await startedCell();
    keyring = await cell.start();
    outcomes = [];
    probed = [];
    const options = {
      store: cell.store,
      keyring,
      masterKey: { ...cell.masterKey, prepareNext: async () => cell.masterKey, adoptNext: async () => '' },
      probe: async (key: SigningKey) => {
        probed.push(key.certificate?.authorityId);
        return outcomes.map((outcome, i) => ({ registry: `r${i}`, outcome, because: 'as it says' }));
      },
      now: cell.clock.now,
      cellId: 1,
      leafHours: LEAF_HOURS,
      longestTokenLifeSeconds: LONGEST_TOKEN_SECONDS,
      periods: { propagationSeconds: 300, rotateEverySeconds: 0 },
    };
    administration = new KeyOperations(options);
    authorities = new AuthorityOperations(options);
  });
  afterEach(closeKeyrings);

  const certificates = (): readonly X509Certificate[] =>
    keyring
      .caPem()
      .split(/(?<=-----END CERTIFICATE-----\n)/)
      .filter((pem) => pem !== '')
      .map((pem) => new X509Certificate(pem));
  const issuedBy = (): number =>
    certificates().findIndex((ca) => new X509Certificate(leafOf(keyring).pem).verify(ca.publicKey));
  const pendingId = (): string => cell.store.set.authorities.find(({ state }) => state === 'pending')!.id;

  it('begins with both in the bundle, the old one first, which still issues', async () => {
    await authorities.stage(ACTOR);
    assert.equal(certificates().length, 2);
    assert.equal(issuedBy(), 0);
    await assert.rejects(authorities.stage(ACTOR), {
      code: 'conflict',
      message: /has been pending since/,
    });
  });

  it('gives every key that can sign a leaf of the new one in the same change', async () => {
    await administration.stage(ACTOR);
    await authorities.stage(ACTOR);
    const next = pendingId();
    const { kid } = keyring.active();
    await authorities.activate({ ...ACTOR, force: true });
    assert.equal(keyring.active().kid, kid);
    assert.equal(issuedBy(), 1);
    const { authorities: all, keys } = cell.store.set;
    assert.deepEqual(
      keys.map(({ certificate }) => certificate?.authorityId),
      [next, next],
    );
    assert.deepEqual(
      all.map(({ state, encryptedPrivateKey }) => [state, encryptedPrivateKey === null]),
      [
        ['retired', true],
        ['active', false],
      ],
    );
    if (!(await opensslIsMissing())) {
      assert.match(await opensslVerify(keyring.caPem(), leafOf(keyring).pem, cell.clock.now()), /OK/);
    }
  });

  it('keeps the old one in the bundle until the last token with its leaf is dead', async () => {
    await authorities.stage(ACTOR);
    await authorities.activate({ ...ACTOR, force: true });
    cell.clock.advance(BUNDLED_MS - 1);
    assert.equal(certificates().length, 2);
    cell.clock.advance(1);
    assert.equal(certificates().length, 1);
    assert.ok(cell.clock.now() > new Date(START));
  });

  const permissions: [title: string, outcomes: ProbeOutcome[], refusal: RegExp | null][] = [
    ['every registry accepts a leaf of it', ['accepted', 'accepted'], null],
    ['a registry refuses it', ['accepted', 'refused'], /registry r1: as it says/],
    [
      'a registry is away, as time tells it nothing',
      ['accepted', 'unreachable'],
      /can't tell whether every registry trusts the pending CA/,
    ],
    ['no registry is listed', [], /can't tell whether .* \(no registry is listed\)/],
  ];
  for (const [title, said, refusal] of permissions) {
    it(`${refusal === null ? 'goes on' : 'is refused'} where ${title}`, async () => {
      await authorities.stage(ACTOR);
      const next = pendingId();
      cell.clock.advance(365 * 24 * 3_600_000);
      await keyring.refresh();
      outcomes = said;
      const done = authorities.activate(ACTOR);
      if (refusal === null) await done;
      else await assert.rejects(done, { code: 'conflict', message: refusal });
      assert.deepEqual(probed, [next]);
      assert.equal(pendingIdIfAny(), refusal === null ? undefined : next);
    });
  }

  const pendingIdIfAny = (): string | undefined =>
    cell.store.set.authorities.find(({ state }) => state === 'pending')?.id;

  it('can be given up before', async () => {
    await authorities.stage(ACTOR);
    await authorities.discard(ACTOR);
    assert.equal(certificates().length, 1);
    await assert.rejects(authorities.activate({ ...ACTOR, force: true }), { code: 'conflict' });
  });

  it('reaches a key that was staged with a leaf of the old one meanwhile', async () => {
    await authorities.stage(ACTOR);
    const next = pendingId();
    const [old] = cell.started.authorities;
    await authorities.activate({ ...ACTOR, force: true });
    await cell.changeKeys((key) => ({ ...key, certificate: cell.started.keys[0]!.certificate }));
    assert.equal(cell.store.set.keys[0]!.certificate?.authorityId, old!.id);
    await keyring.refresh();
    assert.equal(leafOf(keyring).authorityId, next);
  });
});

describe('importing a CA', () => {
  const at = (iso: string): Date => new Date(iso);
  const act: Act = { now: at(START), latest: at(START), actor: 'an admin', reason: null };
  const ca = (id: string, state: AuthorityState): StoredAuthority => ({
    id,
    state,
    certificatePem: `PEM of ${id}`,
    encryptedPrivateKey: state === 'retired' ? null : `jwe of ${id}`,
    createdAt: at('2026-01-01T00:00:00Z'),
    activatedAt: null,
    publishedUntil: state === 'retired' ? at('2026-02-01T00:00:00Z') : null,
    notAfter: at('2030-01-01T00:00:00Z'),
  });
  const set = (...list: StoredAuthority[]): KeySet => ({ authorities: list, keys: [] });
  const [active, pending, retired] = [ca('a', 'active'), ca('p', 'pending'), ca('r', 'retired')];
  const sameName = () => true;

  it('adds it as pending, and brings a retired or discarded one back', () => {
    for (const known of [[active], [active, retired]]) {
      const next = ca('r', 'pending');
      const change = addImportedAuthority(set(...known), next, act, sameName);
      assert.deepEqual(change.set.authorities, [active, next]);
      assert.equal(change.events[0]?.action, 'import_ca');
    }
    assert.throws(
      () => addImportedAuthority(set(active, pending, retired), ca('r', 'pending'), act, sameName),
      {
        code: 'conflict',
        message: /p has been pending since/,
      },
    );
  });

  for (const known of [active, pending]) {
    it(`gives the ${known.state} one another certificate, which ends later`, () => {
      const longer = {
        ...ca(known.id, 'pending'),
        certificatePem: 'longer',
        notAfter: at('2040-01-01T00:00:00Z'),
      };
      const { set: next } = addImportedAuthority(set(known), longer, act, sameName);
      const { certificatePem, notAfter } = longer;
      assert.deepEqual(next.authorities, [{ ...known, certificatePem, notAfter }]);
      assert.throws(() => addImportedAuthority(next, longer, act, sameName), {
        code: 'conflict',
        message: /is already in the key set/,
      });
    });
  }

  it('is refused for the active one where the certificate has another name, which leaves do not have', () => {
    const other = { ...ca('a', 'pending'), certificatePem: 'other' };
    assert.throws(() => addImportedAuthority(set(active), other, act, () => false), {
      code: 'conflict',
      message: /another subject/,
    });
  });
});
