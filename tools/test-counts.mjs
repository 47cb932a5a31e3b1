// Prints `N passed, N failed` from vitest's JSON result, and before it the tests that were skipped: nothing goes unrun unseen. A file that
// fails before its first test counts as one failure.
import { existsSync, readFileSync } from 'node:fs';

const file = process.argv[2];
if (file === undefined || !existsSync(file)) {
  console.log('0 passed, 1 failed');
} else {
  const result = JSON.parse(readFileSync(file, 'utf8'));
  const lost = result.testResults.filter(
    (suite) => suite.status === 'failed' && !suite.assertionResults.some((test) => test.status === 'failed'),
  );
  for (const { assertionResults } of result.testResults)
    for (const { status, fullName } of assertionResults)
      if (status !== 'passed' && status !== 'failed') console.log(`skipped: ${fullName}`);
  console.log(`${result.numPassedTests} passed, ${result.numFailedTests + lost.length} failed`);
}
