import { expect, test } from '@jest/globals';
import { parseJavaVersion } from '../../../local/java.ts';

test.each([
  ['openjdk version "17.0.15" 2025-04-15\nOpenJDK Runtime Environment', 17],
  ['java version "1.8.0_392"', 8],
  ['openjdk version "21" 2023-09-19', 21],
  ['openjdk version "25-ea" 2025-09-16', 25],
  ['Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "11.0.2" 2019-01-15', 11],
  ['Unable to locate a Java Runtime.', null],
])('reads the feature release of %j', (text, version) => {
  expect(parseJavaVersion(text)).toBe(version);
});
