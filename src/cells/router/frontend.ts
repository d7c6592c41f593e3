import { answer, errorBody, literalFormat, quote, quotedString } from './language.ts';
import { keyFile, nameOf, type RouterCell, type RouterKey, type RouterSettings } from './router.ts';
import { boundForgedTokens, boundSources, countForgedTokens } from './sources.ts';

/** The frontend of the registry router: it checks requests and chooses their cell. */

const NAME_BYTES = 255;
/** A token that no cell has signed, or several. */
const REFUSED = 'bearer !{ var(txn.cell) -m found } or authorized_twice';

/** @param namespacesName the file that maps namespaces to cells. */
export function frontend(settings: RouterSettings, namespacesName: string): string[] {
  const { cells, certificateFile, binds } = settings;
  const legacy = cells.find((cell) => cell.legacy);
  const tls = certificateFile === null ? '' : ` ssl crt ${quote(certificateFile)} alpn http/1.1`;
  // HTTP/1 only: without `proto h1` HAProxy also accepts HTTP/2 without TLS.
  return [
    'frontend router',
    ...binds.map((bind) => `  bind ${quote(bind)} proto h1${tls}`),
    '',
    ...boundSources(settings.sources),
    '  # Only this router says where a request comes from, and how.',
    ...['Forwarded', 'X-Real-IP', 'X-Forwarded-Port', 'X-Forwarded-Host'].map(
      (name) => `  http-request del-header ${name}`,
    ),
    '  http-request set-header X-Forwarded-For %[src]',
    `  http-request set-header X-Forwarded-Proto ${new URL(settings.realm).protocol === 'https:' ? 'https' : 'http'}`,
    '  http-request set-header X-Forwarded-Host %[req.hdr(host)] if { req.hdr(host) -m found }',
    '',
    '  # Doubled and trailing slashes do not change the path of the token endpoint.',
    `  acl token_endpoint path -m reg ${quote('^/+jwt/+auth/*$|^/+auth/+token/*$')}`,
    '  acl for_issuer path_beg /.well-known/',
    '  acl for_registry path /v2',
    '  acl for_registry path_beg /v2/ /gitlab/v1/',
    '  http-request set-var(txn.path) path,url_dec',
    '  # Refuse paths that two programs may read differently.',
    `  acl ambiguous_url url -m sub ${quote('#')}`,
    `  acl ambiguous_path var(txn.path) -m sub ${quote('\\')}`,
    `  acl ambiguous_path var(txn.path) -m reg ${quote('//|/[.][.]?(/|$)|[[:cntrl:]]')}`,
    `  http-request return ${answer(400, 'NAME_INVALID', 'this path is ambiguous')} if ambiguous_url or ambiguous_path !token_endpoint or !{ var(txn.path) -m found }`,
    `  http-request return ${answer(404, 'UNSUPPORTED', 'there is nothing at this path')} if !token_endpoint !for_issuer !for_registry`,
    '  http-request allow if token_endpoint or for_issuer',
    '',
    ...verification(settings),
    '',
    '  # Without a token, the top-level namespace decides. Registries never get other credentials.',
    '  http-request del-header Authorization if !bearer',
    `  http-request set-var(txn.cell) ${quote(`var(txn.path),lower,field(3,/),map_str("${namespacesName}")`)} if !bearer { path_beg /v2/ }`,
    ...(legacy === undefined
      ? []
      : [`  http-request set-var(txn.cell) str(${nameOf(legacy)}) if !{ var(txn.cell) -m found }`]),
    '',
    '  use_backend issuers if token_endpoint or for_issuer',
    '  use_backend registry-%[var(txn.cell)]',
    '',
  ];
}

/**
 * Verifies bearer tokens: their form, and a signature by a key of the cell that they name. HAProxy
 * reads no JSON of a token before its signature has verified, because builds without the fix for
 * CVE-2025-11230 crash on JSON that anybody can write.
 */
function verification(settings: RouterSettings): string[] {
  const { cells } = settings;
  return [
    '  # Only one token in one header, so that the registry reads the token that is verified here.',
    '  acl authorized_twice req.fhdr_cnt(authorization) gt 1',
    '  acl bearer req.fhdr(authorization) -m beg -i bearer',
    `  acl well_formed req.fhdr(authorization) -m reg ${quote('^[Bb][Ee][Aa][Rr][Ee][Rr] [A-Za-z0-9_-]+[.][A-Za-z0-9_-]+[.][A-Za-z0-9_-]+$')}`,
    '  http-request set-var(txn.token) req.fhdr(authorization),bytes(7) if bearer well_formed !authorized_twice',
    ...boundForgedTokens(settings.sources),
    '  # One rule per published key. The token can choose neither the algorithm nor the key.',
    ...distinctKeys(cells).map(([cell, key]) => verifyRule(cell, key)),
    '  # Only now is the JSON of the token read: a cell has signed it.',
    `  http-request set-var(txn.claimed) ${quote("var(txn.token),jwt_payload_query('$.cell')")} if { var(txn.verified) -m found }`,
    ...(cells.some(({ issuer }) => issuer !== null)
      ? [
          `  http-request set-var(txn.issuer) ${quote("var(txn.token),jwt_payload_query('$.iss')")} if { var(txn.verified) -m found }`,
        ]
      : []),
    '  # The token belongs to the cell that it names, if that cell publishes the key, and has its issuer.',
    ...cells.flatMap((cell) => cell.keys.map((key) => ownRule(cell, key))),
    ...refusal(settings),
  ];
}

/** Each key once, even if several cells publish it. */
function distinctKeys(
  cells: readonly RouterCell[],
): readonly (readonly [cell: RouterCell, key: RouterKey])[] {
  const published = cells.flatMap((cell) => cell.keys.map((key) => [cell, key] as const));
  const first = new Map(published.toReversed().map((pair) => [pair[1].thumbprint, pair]));
  return published.filter((pair) => first.get(pair[1].thumbprint) === pair);
}

function verifyRule(cell: RouterCell, key: RouterKey): string {
  const verifies = quote(`var(txn.token),jwt_verify("RS256","${keyFile(cell, key)}")`);
  return `  http-request set-var(txn.verified) str(${keyName(key)}) if { var(txn.token) -m found } !{ var(txn.verified) -m found } { ${verifies} -m int 1 }`;
}

function ownRule(cell: RouterCell, key: RouterKey): string {
  const name = nameOf(cell);
  const issuer = cell.issuer === null ? '' : ` { var(txn.issuer) -m str -- ${quote(cell.issuer)} }`;
  return `  http-request set-var(txn.cell) str(${name}) if { var(txn.verified) -m str ${keyName(key)} } { var(txn.claimed) -m str ${name} }${issuer}`;
}

/** A thumbprint may begin with "-", which HAProxy would read as a flag. */
function keyName({ thumbprint }: RouterKey): string {
  return `key-${thumbprint}`;
}

/**
 * The challenge of distribution's token specification, with the scope that the registry would ask
 * for if the path tells it.
 */
function refusal({ realm, service }: RouterSettings): string[] {
  const challenge = `Bearer realm="${quotedString(realm, 'the realm')}",service="${quotedString(service, 'the service')}"`;
  const body = errorBody('UNAUTHORIZED', 'this token is not valid here; ask for a new one');
  return [
    countForgedTokens(REFUSED),
    `  acl names_repository path -m reg ${quote('^/v2/[a-z0-9][a-z0-9._/-]*/(manifests|blobs|tags|referrers)/')}`,
    `  http-request set-var(txn.repository) ${quote('path,regsub("^/v2/",""),regsub("/(manifests|blobs|tags|referrers)/.*$","")')} if names_repository`,
    '  http-request set-var(txn.actions) str(pull)',
    '  http-request set-var(txn.actions) \'str("pull,push")\' if { method POST PUT PATCH }',
    '  http-request set-var(txn.actions) str(delete) if { method DELETE }',
    `  http-request set-var-fmt(txn.scope) ${quote(',scope="repository:%[var(txn.repository)]:%[var(txn.actions)]"')} if { var(txn.repository) -m len le ${NAME_BYTES} }`,
    `  http-request return status 401 content-type application/json hdr WWW-Authenticate ${quote(`${literalFormat(challenge)}%[var(txn.scope)],error="invalid_token"`)} string ${quote(body)} if ${REFUSED}`,
  ];
}
