// The rules of the house that no published plugin has; eslint.config.js says where each applies.
import { deterministic, noWallClock } from './determinism.mjs';
import { layering, noBarrel, packages } from './layering.mjs';
import { noModuleState } from './module-state.mjs';

export const house = {
  meta: { name: 'house' },
  rules: {
    layering,
    packages,
    deterministic,
    'no-wall-clock': noWallClock,
    'no-module-state': noModuleState,
    'no-barrel': noBarrel,
  },
};
