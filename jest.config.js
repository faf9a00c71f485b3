/**
 * Unit tests are pure and instant; the simulation runs for a minute; integration tests share one embedded Apache Kafka (see test/support). The long fault
 * tests have a command of their own: `npm run test:fault`.
 */
const shared = {
  extensionsToTreatAsEsm: ['.ts'],
  transform: { '\\.ts$': '<rootDir>/test/support/strip-types-transform.mjs' },
  testEnvironment: 'node',
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
};

const integration = {
  ...shared,
  displayName: 'integration',
  testMatch: ['<rootDir>/test/{integration,fault/short}/**/*.test.ts'],
  globalSetup: '<rootDir>/test/support/global-setup.mjs',
  globalTeardown: '<rootDir>/test/support/global-teardown.mjs',
};

export const faults = {
  maxWorkers: 2,
  projects: [
    {
      ...integration,
      rootDir: import.meta.dirname,
      displayName: 'fault',
      testMatch: ['<rootDir>/test/fault/**/*.test.ts'],
    },
  ],
};

export default {
  testTimeout: 30_000,
  // Most integration tests wait for most of their time. More at once would make their processes late on two cores.
  maxWorkers: 2,
  projects: [
    {
      ...shared,
      displayName: 'unit',
      testMatch: ['<rootDir>/test/{unit,topology,contract,golden}/**/*.test.ts'],
    },
    {
      ...shared,
      displayName: 'simulation',
      testMatch: ['<rootDir>/test/simulation/**/*.test.ts'],
    },
    integration,
  ],
};
