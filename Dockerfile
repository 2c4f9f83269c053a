# The server for production: no development packages, and without the embedded PostgreSQL and Node that serve a developer's machine.
# DATABASE_URL names the database; docker-compose.yml shows the whole.
FROM node:26-trixie-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --omit=optional && npm cache clean --force

FROM node:26-trixie-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=packages /app/node_modules node_modules
COPY package.json ./
COPY migrations migrations
COPY sdk sdk
COPY views views
COPY src src
# The sandbox signs anybody in as anybody: what is not there cannot be switched on.
RUN rm -rf src/sandbox views/sandbox views/demo \
  && printf '#!/bin/sh\nexec node /app/src/cli/main.ts "$@"\n' > /usr/local/bin/heyi && chmod +x /usr/local/bin/heyi
# The files belong to root: the server cannot change its own program.
USER node
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=1s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 3000}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# As `npm start`: what requests leave behind is collected less often.
CMD ["node", "--max-semi-space-size=64", "src/main.ts"]
