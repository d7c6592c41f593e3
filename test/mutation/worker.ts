import Mocha from 'mocha';

/** The parent prints; here only the first failure matters. */
class Silent extends Mocha.reporters.Base {}

/**
 * Runs test files in a fresh module graph (the folder is new each time) and says what failed first,
 * or null.
 */
async function firstFailure(files: readonly string[]): Promise<string | null> {
  const mocha = new Mocha({ bail: true, timeout: 2000, reporter: Silent });
  for (const file of files) mocha.addFile(file);
  try {
    await mocha.loadFilesAsync();
  } catch (error) {
    return `does not load: ${String(error)}`;
  }
  return new Promise((resolve) => {
    let failed: string | null = null;
    const runner = mocha.run(() => {
      mocha.dispose();
      resolve(failed);
    });
    runner.on('fail', (test) => {
      failed ??= test.fullTitle();
    });
  });
}

process.on('message', (files: readonly string[]) => {
  void firstFailure(files).then((failure) => process.send?.({ failure }));
});
