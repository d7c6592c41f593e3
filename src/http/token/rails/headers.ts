/** Who answered: for other cells, and for people who look. No client reads it. */
export const ANSWERED_BY = 'Cellpass-Answered-By';
export const RAILS = 'rails';
