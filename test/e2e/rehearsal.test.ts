import assert from 'node:assert/strict';
import { needs } from '../support/e2e/bench.ts';
import { debianTool } from '../support/e2e/tools.ts';
import { type Rehearsal, rehearse } from '../support/rails/rehearsal.ts';

describe('the way from GitLab Rails to cellpass and back', function () {
  this.timeout(180_000);
  const registry = needs(() => debianTool('docker-registry'));
  const skopeo = needs(() => debianTool('skopeo'));
  let rehearsal: Rehearsal;
  before(async () => {
    rehearsal = await rehearse({ registry: registry(), skopeo: skopeo() }, () => undefined);
  });

  it('fails no operation of a client', () => {
    assert.deepEqual(
      rehearsal.steps.map(({ name, failed }) => `${name}: ${failed}`),
      [
        'Rails alone: 0',
        'cellpass observes: 0',
        'the difference is mended: 0',
        'cellpass serves acme: 0',
        'cellpass serves all: 0',
        'back: cellpass observes: 0',
        'back: Rails alone: 0',
      ],
    );
    assert.ok(rehearsal.steps.every(({ operations }) => operations > 0));
  });

  it('has each request answered as the settings say', () => {
    const { answeredBy } = rehearsal;
    assert.deepEqual(answeredBy['cellpass observes'], { acme: 'rails', alice: 'rails' });
    assert.deepEqual(answeredBy['cellpass serves acme'], { acme: 'cellpass', alice: 'rails' });
    assert.deepEqual(answeredBy['cellpass serves all'], { acme: 'cellpass', alice: 'cellpass' });
    assert.deepEqual(answeredBy['back: cellpass observes'], { acme: 'rails', alice: 'rails' });
  });

  it('finds the seeded difference, explains it, and finds none when it is mended', () => {
    assert.match(rehearsal.differences, /1 differing/);
    assert.match(rehearsal.differences, /access_token +push +200 pull +200 pull,push +allowed/);
    assert.match(rehearsal.explanation, /access +repository:acme\/web:pull +repository:acme\/web:pull,push/);
    assert.match(rehearsal.explanation, /push: granted by allowed/);
    assert.equal(rehearsal.mended.differing, 0);
    assert.ok(rehearsal.mended.equal > 0);
  });

  it('is checked before, and nothing fails', () => {
    assert.doesNotMatch(rehearsal.check, /failed/);
    assert.match(rehearsal.check, /rails issuer: both sign as/);
    assert.match(rehearsal.check, /key of Rails: the registry accepts the tokens of Rails, too/);
  });
});
