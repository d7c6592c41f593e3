/**
 * A moment for tables and sentences, in UTC to the minute: `2027-01-31 12:05Z`. JSON has it in
 * full.
 */
export function toMinute(isoTime: string): string {
  const time = new Date(isoTime);
  if (Number.isNaN(time.getTime())) return isoTime;
  return `${time.toISOString().slice(0, 16).replace('T', ' ')}Z`;
}
