#!/usr/bin/env bash
# Typecheck and unit tests on each supported line of Node that can be had from npm. Ends with 1 if any of them fails.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=0
for line in 20 22 24; do
  if ! version=$(npx --yes -p "node@$line" node --version 2>/dev/null); then
    echo "node $line: can't be had here"
    continue
  fi
  if npx --yes -p "node@$line" node node_modules/typescript/bin/tsc --noEmit &&
    npx --yes -p "node@$line" node node_modules/mocha/bin/mocha.js --reporter dot \
      'test/policy/*.test.ts' 'test/authn/*.test.ts' 'test/token/*.test.ts' 'test/keys/*.test.ts' 'test/rotation/*.test.ts' \
      'test/store/**/*.test.ts' test/config/load.test.ts; then
    echo "node $line ($version): passed"
  else
    echo "node $line ($version): failed"
    failed=1
  fi
done
exit "$failed"
