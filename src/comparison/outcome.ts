/** What came of comparing one request. */
export const COMPARISON_OUTCOMES = ['equal', 'differing', 'expected', 'unanswered', 'dropped'] as const;
export type ComparisonOutcome = (typeof COMPARISON_OUTCOMES)[number];
