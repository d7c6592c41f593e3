/** A value that may be replaced while the server runs, and who uses it. */
export interface Followed<T> {
  current(): T;
  /** Calls `use` with each value that comes later. */
  follow(use: (value: T) => void): void;
  replace(value: T): void;
}

export function createFollowed<T>(first: T): Followed<T> {
  const followers: ((value: T) => void)[] = [];
  let current = first;
  return {
    current: () => current,
    follow: (use) => {
      followers.push(use);
    },
    replace: (value) => {
      current = value;
      for (const use of followers) use(value);
    },
  };
}
