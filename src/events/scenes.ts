/**
 * What WeChat calls a scene (the entry by which a mini-program was opened), in groups that a company reads. The numbers and their meaning
 * are those of WeChat's own list; one that is not here is `wechat_other`.
 */

/** Cards and links from people; codes; accounts; messages; search; videos; adverts; other programs; and WeChat's own lists and pages. */
const groups = {
  wechat_share: [1007, 1008, 1036, 1044, 1096, 1154, 1155, 1158, 1160, 1173, 1185, 1208, 1325, 1326, 1327, 1328, 1346],
  wechat_scan: [1011, 1012, 1013, 1025, 1031, 1032, 1047, 1048, 1049, 1072, 1124, 1125, 1126, 1150, 1153, 1374],
  wechat_official_account: [
    1020, 1035, 1058, 1074, 1082, 1091, 1102, 1144, 1152, 1157, 1261, 1287, 1305, 1306, 1311, 1426, 1427, 1429, 1432,
  ],
  wechat_message: [1014, 1043, 1073, 1081, 1088, 1107, 1231],
  wechat_search: [
    1005, 1006, 1027, 1042, 1053, 1106, 1183, 1244, 1245, 1252, 1277, 1280, 1281, 1297, 1298, 1299, 1300, 1301,
  ],
  wechat_channels: [1175, 1176, 1177, 1179, 1184, 1191, 1193, 1195, 1197, 1198, 1206, 1216, 1219, 1239, 1296],
  wechat_ads: [1045, 1046, 1067, 1068, 1084, 1095, 1189, 1200, 1201, 1215, 1228, 1230, 1232, 1238, 1274, 1295],
  wechat_miniprogram: [1037, 1038, 1099],
  wechat_link: [1065, 1069, 1167, 1168, 1181, 1194, 1286, 1313],
  wechat_wallet: [1019, 1028, 1029, 1034, 1052, 1057, 1060, 1071, 1097, 1100, 1148, 1397, 1398],
  wechat_nearby: [1026, 1146, 1242, 1243, 1292, 1307, 1430],
  /** Opened again by somebody who knows it. */
  wechat_recent: [
    1001, 1010, 1022, 1023, 1024, 1054, 1089, 1090, 1103, 1104, 1113, 1114, 1131, 1178, 1186, 1187, 1223, 1256, 1257,
    1260, 1271, 1273, 1304,
  ],
  wechat_discover: [1092, 1135, 1145, 1151, 1169, 1220, 1254, 1255, 1258, 1278, 1279, 1285, 1302, 1363],
  wecom: [1119, 1120, 1121, 1192, 1202, 1207],
} as const;

export type SceneGroup = keyof typeof groups | 'wechat_other';

/** No person: automated tests, WeChat's crawler, its load test, an assistant that reads a shared page. */
const robots = new Set([1030, 1129, 1203, 1408]);

const groupsByScene = new Map<number, SceneGroup>();
for (const [group, scenes] of Object.entries(groups) as [keyof typeof groups, readonly number[]][])
  for (const scene of scenes) groupsByScene.set(scene, group);

/** Undefined for what is no scene. */
export function sceneOf(value: unknown): number | undefined {
  const scene = typeof value === 'string' && /^\d{4}$/.test(value) ? Number(value) : value;
  return typeof scene === 'number' && Number.isInteger(scene) && scene >= 1000 && scene <= 9999 ? scene : undefined;
}

export function groupOfScene(scene: number): SceneGroup {
  return groupsByScene.get(scene) ?? 'wechat_other';
}

export function isRobotScene(scene: number): boolean {
  return robots.has(scene);
}
