const { reporters } = require('mocha');

/** mocha's own report, and a last line that a script can count on. */
module.exports = class TallyReporter extends reporters.Spec {
  epilogue() {
    super.epilogue();
    console.log(`${this.stats.passes} passed, ${this.stats.failures} failed`);
  }
};
