// Prints `N passed, N failed` from vitest's JSON result. A file that fails before its first test counts as one failure.
import { existsSync, readFileSync } from 'node:fs';

const file = process.argv[2];
if (file === undefined || !existsSync(file)) {
  console.log('0 passed, 1 failed');
} else {
  const result = JSON.parse(readFileSync(file, 'utf8'));
  const lost = result.testResults.filter(
    (suite) => suite.status === 'failed' && !suite.assertionResults.some((test) => test.status === 'failed'),
  );
  console.log(`${result.numPassedTests} passed, ${result.numFailedTests + lost.length} failed`);
}
