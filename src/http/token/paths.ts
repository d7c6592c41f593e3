/**
 * The paths of the token endpoint: GitLab's, and the one that distribution puts into its challenge
 * with `autoredirect: true`, which nothing can change.
 */
export const TOKEN_PATHS = ['/jwt/auth', '/auth/token'] as const;
