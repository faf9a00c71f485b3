export { faults as default } from '../../jest.config.js';
