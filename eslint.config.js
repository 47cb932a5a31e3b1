import js from '@eslint/js';
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';
import { PURE_LAYERS, STATELESS_LAYERS, TEST_FILES } from './tools/lint/layers.mjs';
import { house } from './tools/lint/plugin.mjs';

const TESTS = [...TEST_FILES, 'test/**/*.ts'];
const inside = (folders) => folders.map((folder) => `${folder}/**/*.ts`);

/** Files over this many lines of code are asked why; the answer is a disable comment with the reason. */
const MAX_LINES = 400;

export default defineConfig(
  { ignores: ['dist/**', 'node_modules/**', 'coverage/**', '**/*.capnp.ts'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { house },
    rules: {
      'house/layering': 'error',
      'house/packages': 'error',
      'house/no-barrel': 'error',
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportDefaultDeclaration', message: 'No default exports: name it.' },
        { selector: 'ExportSpecifier[exported.name="default"]', message: 'No default exports: name it.' },
      ],
      eqeqeq: 'error',
      'no-var': 'error',
      'prefer-const': 'error',
      'max-lines': ['error', { max: MAX_LINES, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/consistent-type-exports': 'error',
      '@typescript-eslint/no-import-type-side-effects': 'error',
      // A `default` says that the rest is meant; without one every member of the union must be there.
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true, requireDefaultForNonUnion: true },
      ],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-confusing-void-expression': [
        'error',
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      // A generator that never yields is a task that never waits; a type parameter used once can carry a brand.
      'require-yield': 'off',
      '@typescript-eslint/no-unnecessary-type-parameters': 'off',
    },
  },
  {
    files: inside(PURE_LAYERS),
    ignores: TESTS,
    rules: { 'house/deterministic': 'error' },
  },
  {
    files: inside(STATELESS_LAYERS),
    ignores: TESTS,
    rules: { 'house/no-module-state': 'error' },
  },
  {
    files: TESTS,
    rules: {
      'house/no-wall-clock': 'error',
      'max-lines': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-misused-spread': 'off',
      '@typescript-eslint/no-unnecessary-template-expression': 'off',
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  {
    files: ['**/*.js', '**/*.mjs', 'vitest.config.ts', 'vitest.proof.config.ts'],
    extends: [tseslint.configs.disableTypeChecked],
    languageOptions: {
      parserOptions: { projectService: false },
      globals: { console: 'readonly', process: 'readonly', performance: 'readonly', URL: 'readonly' },
    },
    rules: {
      '@typescript-eslint/switch-exhaustiveness-check': 'off',
      '@typescript-eslint/consistent-type-exports': 'off',
    },
  },
  {
    // Their tools ask for a default export.
    files: ['eslint.config.js', 'vitest.config.ts', 'vitest.proof.config.ts'],
    rules: { 'no-restricted-syntax': 'off' },
  },
);
